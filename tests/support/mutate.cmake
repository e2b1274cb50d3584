# For mutate.py, which gives this file as CMAKE_PROJECT_INCLUDE: every program
# loads the core from one shared library, so that a changed file of the core
# asks for one compilation and one link.
cmake_language(DEFER CALL mutate_share)
set(CMAKE_C_STANDARD 11)
add_subdirectory(${PROJECT_SOURCE_DIR}/tests/integration
  ${PROJECT_BINARY_DIR}/tests/integration)

function(mutate_share)
  find_package(Threads REQUIRED)
  get_target_property(options fastcgi_objects COMPILE_OPTIONS)
  list(REMOVE_ITEM options -fvisibility=hidden)
  set_property(TARGET fastcgi_objects PROPERTY COMPILE_OPTIONS ${options})
  add_library(fastcgi_whole SHARED $<TARGET_OBJECTS:fastcgi_objects>)
  target_include_directories(fastcgi_whole PUBLIC
    ${PROJECT_SOURCE_DIR}/core/include)
  target_link_libraries(fastcgi_whole PUBLIC Threads::Threads)
  mutate_share_below(${PROJECT_SOURCE_DIR})
endfunction()

function(mutate_share_below directory)
  get_property(targets DIRECTORY ${directory} PROPERTY BUILDSYSTEM_TARGETS)
  foreach(target ${targets})
    foreach(property LINK_LIBRARIES INTERFACE_LINK_LIBRARIES)
      get_target_property(libraries ${target} ${property})
      if(libraries)
        list(TRANSFORM libraries REPLACE "^fastcgi_(objects|static)$"
             fastcgi_whole)
        set_property(TARGET ${target} PROPERTY ${property} ${libraries})
      endif()
    endforeach()
    set_property(TARGET ${target} PROPERTY LINK_DEPENDS_NO_SHARED ON)
  endforeach()
  get_property(folders DIRECTORY ${directory} PROPERTY SUBDIRECTORIES)
  foreach(folder ${folders})
    mutate_share_below(${folder})
  endforeach()
endfunction()
