//! The slots that a job holds.
//!
//! One slot holds one subtask of every vertex (slot sharing), so a job needs as many slots as its widest vertex has
//! subtasks. A slot keeps its number over restarts, so that tasks go back to where they were.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::{AllocationId, TaskManagerId};

use crate::resource_manager::effect::GrantedSlot;

/// The slots granted to a job: slots in use, by number, and slots that are not assigned yet.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct SlotPool {
    needed: u32,
    assigned: BTreeMap<u32, GrantedSlot>,
    free: BTreeMap<AllocationId, GrantedSlot>,
}

impl SlotPool {
    /// Creates an empty pool for a job that needs `needed` slots.
    pub fn new(needed: u32) -> Self {
        Self { needed, assigned: BTreeMap::new(), free: BTreeMap::new() }
    }

    /// Number of slots that the job needs.
    pub fn needed(&self) -> u32 {
        self.needed
    }

    /// Number of slots that are not granted yet.
    pub fn missing(&self) -> u32 {
        self.needed.saturating_sub((self.assigned.len() + self.free.len()) as u32)
    }

    /// Adds granted slots. Returns the slots that the job does not need, which the caller must release.
    pub fn offer(&mut self, slots: Vec<GrantedSlot>) -> Vec<AllocationId> {
        let (mut surplus, in_use) = (Vec::new(), self.assigned.values().map(|slot| slot.allocation).collect::<BTreeSet<_>>());
        for slot in slots {
            if self.free.contains_key(&slot.allocation) || in_use.contains(&slot.allocation) {
                continue; // A repeated grant changes nothing.
            }
            if self.missing() == 0 {
                surplus.push(slot.allocation);
            } else {
                self.free.insert(slot.allocation, slot);
            }
        }
        surplus
    }

    /// Removes all slots of a TaskManager. Returns their number.
    pub fn lose(&mut self, task_manager: &TaskManagerId) -> usize {
        let before = self.assigned.len() + self.free.len();
        self.assigned.retain(|_, slot| &slot.task_manager != task_manager);
        self.free.retain(|_, slot| &slot.task_manager != task_manager);
        before - self.assigned.len() - self.free.len()
    }

    /// Removes all slots.
    pub fn clear(&mut self) {
        self.assigned.clear();
        self.free.clear();
    }

    /// Assigns a slot to every number. Numbers that have a slot keep it. Each new slot comes from the TaskManager that has the
    /// fewest. Call this only when no slot is missing.
    pub fn assign(&mut self) -> &BTreeMap<u32, GrantedSlot> {
        if self.free.is_empty() {
            return &self.assigned;
        }
        let mut load: BTreeMap<&TaskManagerId, usize> = BTreeMap::new();
        for slot in self.assigned.values() {
            *load.entry(&slot.task_manager).or_default() += 1;
        }
        let mut free: BTreeMap<&TaskManagerId, BTreeMap<u32, AllocationId>> = BTreeMap::new();
        for slot in self.free.values() {
            free.entry(&slot.task_manager).or_default().insert(slot.slot, slot.allocation);
        }
        let mut next: BTreeSet<_> = free.keys().map(|home| (load.get(home).copied().unwrap_or(0), *home)).collect();
        let numbers = (0..self.needed).filter(|number| !self.assigned.contains_key(number));
        let mut chosen = Vec::new();
        for number in numbers {
            let Some((load, home)) = next.pop_first() else { break };
            let Some(slots) = free.get_mut(home) else { continue };
            chosen.extend(slots.pop_first().map(|(_, allocation)| (number, allocation)));
            if !slots.is_empty() {
                next.insert((load + 1, home));
            }
        }
        for (number, allocation) in chosen {
            self.assigned.extend(self.free.remove(&allocation).map(|slot| (number, slot)));
        }
        &self.assigned
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_master::testing::slot;

    fn homes(pool: &mut SlotPool) -> Vec<(String, u32)> {
        pool.assign().values().map(|slot| (slot.task_manager.0.clone(), slot.slot)).collect()
    }

    #[test]
    fn slots_alternate_between_task_managers_in_any_order_of_grants() {
        let grants = [slot(1, "a", 0), slot(2, "a", 1), slot(3, "b", 0), slot(4, "b", 1)];
        let expected = [("a", 0), ("b", 0), ("a", 1), ("b", 1)].map(|(name, slot)| (name.to_string(), slot));
        for rotation in 0..4 {
            let mut grants = grants.to_vec();
            grants.rotate_left(rotation);
            let mut pool = SlotPool::new(4);
            assert!(pool.offer(grants).is_empty());
            assert_eq!(homes(&mut pool), expected);
        }
    }

    /// The same choice, one look at everything for each number.
    fn assigned_slowly(mut pool: SlotPool) -> BTreeMap<u32, GrantedSlot> {
        for number in (0..pool.needed).filter(|number| !pool.assigned.contains_key(number)).collect::<Vec<_>>() {
            let load = |slot: &GrantedSlot| pool.assigned.values().filter(|held| held.task_manager == slot.task_manager).count();
            let order = |slot: &&GrantedSlot| (load(slot), slot.task_manager.clone(), slot.slot);
            let next = pool.free.values().min_by_key(order).map(|slot| slot.allocation).expect("no slot is missing");
            pool.assigned.extend(pool.free.remove(&next).map(|slot| (number, slot)));
        }
        pool.assigned
    }

    proptest::proptest! {
        #[test]
        fn each_slot_comes_from_the_task_manager_with_the_fewest(
            first in proptest::collection::btree_set((0_u32..5, 0_u32..8), 1..30),
            second in proptest::collection::btree_set((5_u32..8, 0_u32..8), 0..12),
            lost in 0_u32..5,
        ) {
            let granted = |slots: std::collections::BTreeSet<(u32, u32)>| -> Vec<GrantedSlot> {
                slots.into_iter().map(|(home, number)| slot(u128::from(home * 100 + number), &format!("tm-{home}"), number)).collect()
            };
            let (first, second) = (granted(first), granted(second));
            let mut pool = SlotPool::new(first.len() as u32);
            pool.offer(first);
            proptest::prop_assert_eq!(assigned_slowly(pool.clone()), pool.assign().clone());
            pool.lose(&TaskManagerId(format!("tm-{lost}")));
            pool.offer(second);
            if pool.missing() == 0 {
                proptest::prop_assert_eq!(assigned_slowly(pool.clone()), pool.assign().clone());
            }
        }
    }

    #[test]
    fn a_repeated_grant_changes_nothing_and_a_surplus_slot_is_returned() {
        let mut pool = SlotPool::new(1);
        assert!(pool.offer(vec![slot(1, "a", 0), slot(1, "a", 0)]).is_empty());
        pool.assign();
        assert!(pool.offer(vec![slot(1, "a", 0)]).is_empty());
        assert_eq!(pool.offer(vec![slot(2, "a", 1)]), [AllocationId(2)]);
    }

    #[test]
    fn a_lost_task_manager_does_not_change_the_numbers_of_other_slots() {
        let mut pool = SlotPool::new(4);
        pool.offer(vec![slot(1, "a", 0), slot(2, "a", 1), slot(3, "b", 0), slot(4, "b", 1)]);
        let before = homes(&mut pool);
        assert_eq!(pool.lose(&TaskManagerId("b".into())), 2);
        assert_eq!(pool.missing(), 2);
        pool.offer(vec![slot(5, "c", 0), slot(6, "c", 1)]);
        let after = homes(&mut pool);
        assert_eq!((&before[0], &before[2]), (&after[0], &after[2]));
        assert_eq!((after[1].0.as_str(), after[3].0.as_str()), ("c", "c"));
    }
}
